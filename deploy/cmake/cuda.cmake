# What BARISTA_CUDA=ON adds: the CUDA language and the target `barista_device`, all device code
# of this tree. nvcc is, in this order: CMAKE_CUDA_COMPILER, $CUDACXX, the wheels of deploy/bootstrap.sh --cuda, PATH.
if(CMAKE_VERSION VERSION_LESS 3.31)  # older ones look for parts that CUDA 13 no longer has
  message(FATAL_ERROR "BARISTA_CUDA=ON needs CMake 3.31, this is ${CMAKE_VERSION}; `bash deploy/bootstrap.sh --cuda` lays a "
    "newer one into build/tools/venv/bin.")
endif()

find_program(BARISTA_NVCC nvcc
  HINTS ${PROJECT_SOURCE_DIR}/build/cuda/toolkit/bin PATHS /usr/local/cuda/bin DOC "CUDA's compiler, where none is named")
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  if(NOT BARISTA_NVCC)
    message(FATAL_ERROR "BARISTA_CUDA=ON needs nvcc and there is none in build/cuda/toolkit, PATH or /usr/local/cuda. "
      "Run `bash deploy/bootstrap.sh --cuda` (neither a GPU nor a driver is needed) or give -DCMAKE_CUDA_COMPILER=PATH.")
  endif()
  set(CMAKE_CUDA_COMPILER ${BARISTA_NVCC})
endif()

# H100 and H200, and PTX that later cards translate when they load it. A release names more (preset cuda-release).
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES "90a-real;90-virtual" CACHE STRING "Cards that device code is compiled for")
endif()
enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
find_package(CUDAToolkit 13.0 REQUIRED)
set(CMAKE_BUILD_RPATH ${CUDAToolkit_LIBRARY_DIR})  # CMake takes it for one that the loader knows

add_custom_target(barista_device ALL)
