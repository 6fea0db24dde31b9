// CUDA's vector types, with CUDA's alignment.
#pragma once
#include "runtime.h"

#define EMU_VECTOR2(T, NAME, ALIGN)          \
  struct alignas(ALIGN) NAME##2 { T x, y; }; \
  inline NAME##2 make_##NAME##2(T x, T y) { return {x, y}; }
#define EMU_VECTOR3(T, NAME)     \
  struct NAME##3 { T x, y, z; }; \
  inline NAME##3 make_##NAME##3(T x, T y, T z) { return {x, y, z}; }
#define EMU_VECTOR4(T, NAME, ALIGN)                \
  struct alignas(ALIGN) NAME##4 { T x, y, z, w; }; \
  inline NAME##4 make_##NAME##4(T x, T y, T z, T w) { return {x, y, z, w}; }

EMU_VECTOR2(float, float, 8)
EMU_VECTOR3(float, float)
EMU_VECTOR4(float, float, 16)
EMU_VECTOR2(double, double, 16)
EMU_VECTOR2(int, int, 8)
EMU_VECTOR3(int, int)
EMU_VECTOR4(int, int, 16)
EMU_VECTOR2(unsigned, uint, 8)
EMU_VECTOR4(unsigned, uint, 16)
EMU_VECTOR2(unsigned short, ushort, 4)
EMU_VECTOR4(unsigned short, ushort, 8)
EMU_VECTOR2(unsigned char, uchar, 2)
EMU_VECTOR4(unsigned char, uchar, 4)
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
