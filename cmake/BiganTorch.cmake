# Finds the torch to build against: only its headers and, to link with, libtorch.  No find_package(Torch), which
# wants a whole CUDA toolkit wherever torch was built with CUDA.
#
# in:  BIGAN_TORCH_DIR (optional)      out: BIGAN_TORCH_DIR, BIGAN_TORCH_VERSION, BIGAN_TORCH_CUDA (or "")

if(NOT BIGAN_TORCH_DIR)
  find_package(Python COMPONENTS Interpreter REQUIRED)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
      "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '', end='')"
    OUTPUT_VARIABLE found)
  if(NOT found)
    message(FATAL_ERROR
      "no torch for ${Python_EXECUTABLE}: activate the environment that has it, or give -DBIGAN_TORCH_DIR=.../torch")
  endif()
  set(BIGAN_TORCH_DIR "${found}" CACHE PATH "The folder `torch` of an installed PyTorch >= 2.11" FORCE)
endif()
cmake_path(NORMAL_PATH BIGAN_TORCH_DIR)

if(EXISTS "${BIGAN_TORCH_DIR}/version.py") # a wheel; a bare libtorch has build-version instead
  file(STRINGS "${BIGAN_TORCH_DIR}/version.py" version REGEX "^__version__")
  file(STRINGS "${BIGAN_TORCH_DIR}/version.py" cuda REGEX "^cuda[: ]")
elseif(EXISTS "${BIGAN_TORCH_DIR}/build-version")
  file(STRINGS "${BIGAN_TORCH_DIR}/build-version" version)
  set(version "'${version}'")
  set(cuda "")
endif()
string(REGEX REPLACE ".*['\"](.*)['\"].*" "\\1" BIGAN_TORCH_VERSION "${version}")
string(REGEX MATCH "['\"]([0-9.]+)" _ "${cuda}")
set(BIGAN_TORCH_CUDA "${CMAKE_MATCH_1}")

if(BIGAN_TORCH_VERSION VERSION_LESS 2.11)
  message(FATAL_ERROR "torch ${BIGAN_TORCH_VERSION} in ${BIGAN_TORCH_DIR} is older than 2.11")
endif()
message(STATUS "torch ${BIGAN_TORCH_VERSION} (CUDA: ${BIGAN_TORCH_CUDA}) in ${BIGAN_TORCH_DIR}")
