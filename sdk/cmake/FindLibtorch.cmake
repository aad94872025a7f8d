# Finds libtorch without its own CMake package, which wants the whole CUDA toolkit for CUDA builds.
# Looks in -DLIBTORCH_DIR (or the environment's LIBTORCH_DIR), then in the Python environment of the project (.venv,
# made by ./dev setup). Makes the target Libtorch::libtorch; sets LIBTORCH_VERSION, LIBTORCH_LIB_DIR, LIBTORCH_IS_CUDA.
set(LIBTORCH_VERSION_MIN 2.6)

set(LIBTORCH_DIR "$ENV{LIBTORCH_DIR}" CACHE PATH "Folder of libtorch: has include/ and lib/")
set(candidates ${LIBTORCH_DIR})
if(NOT LIBTORCH_DIR)
    file(GLOB candidates ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
endif()
find_path(LIBTORCH_INCLUDE_DIR ATen/Tensor.h PATHS ${candidates} PATH_SUFFIXES include NO_DEFAULT_PATH NO_CACHE)
if(NOT LIBTORCH_INCLUDE_DIR)
    message(FATAL_ERROR "WITH_TORCH=ON, and no libtorch: looked in \"${candidates}\" (LIBTORCH_DIR, else .venv of the source "
        "tree). Run ./dev setup, which makes .venv with torch, or give -DLIBTORCH_DIR=/path/to/libtorch, or -DWITH_TORCH=OFF.")
endif()
get_filename_component(root ${LIBTORCH_INCLUDE_DIR} DIRECTORY)
set(LIBTORCH_LIB_DIR ${root}/lib)

set(version_header ${LIBTORCH_INCLUDE_DIR}/torch/headeronly/version.h) # 2.9 and newer
if(NOT EXISTS ${version_header})
    set(version_header ${LIBTORCH_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h)
endif()
foreach(name MAJOR MINOR PATCH)
    file(STRINGS ${version_header} line REGEX "define TORCH_VERSION_${name} ")
    string(REGEX REPLACE ".* ([0-9]+).*" "\\1" version_${name} "${line}")
endforeach()
set(LIBTORCH_VERSION ${version_MAJOR}.${version_MINOR}.${version_PATCH})
if(LIBTORCH_VERSION VERSION_LESS LIBTORCH_VERSION_MIN)
    message(FATAL_ERROR "libtorch ${LIBTORCH_VERSION} in ${root} is too old: voxhost needs ${LIBTORCH_VERSION_MIN} or newer")
endif()

find_library(LIBTORCH_C10 c10 PATHS ${LIBTORCH_LIB_DIR} NO_DEFAULT_PATH NO_CACHE REQUIRED)
find_library(LIBTORCH_CPU torch_cpu PATHS ${LIBTORCH_LIB_DIR} NO_DEFAULT_PATH NO_CACHE REQUIRED)
find_library(LIBTORCH_CUDA torch_cuda PATHS ${LIBTORCH_LIB_DIR} NO_DEFAULT_PATH NO_CACHE)
find_library(LIBTORCH_ALL torch PATHS ${LIBTORCH_LIB_DIR} NO_DEFAULT_PATH NO_CACHE REQUIRED)
if(LIBTORCH_CUDA)
    set(LIBTORCH_IS_CUDA ON)
endif()

add_library(libtorch INTERFACE)
add_library(Libtorch::libtorch ALIAS libtorch)
target_include_directories(libtorch SYSTEM INTERFACE ${LIBTORCH_INCLUDE_DIR} ${LIBTORCH_INCLUDE_DIR}/torch/csrc/api/include)
# Builds before 2.7 may have the C++ library's old strings.
file(STRINGS ${LIBTORCH_C10} new_strings REGEX "__cxx11" LIMIT_COUNT 1)
if(NOT new_strings)
    target_compile_definitions(libtorch INTERFACE _GLIBCXX_USE_CXX11_ABI=0)
endif()
# libtorch registers the CUDA kernels when it is loaded, though nothing of it is named.
target_link_libraries(libtorch INTERFACE ${LIBTORCH_CPU} ${LIBTORCH_C10} -Wl,--push-state,--no-as-needed ${LIBTORCH_ALL}
    -Wl,--pop-state)
message(STATUS "libtorch ${LIBTORCH_VERSION} in ${root}")
