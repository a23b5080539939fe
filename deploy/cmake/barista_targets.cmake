# One CMake target a folder. Our own code compiles with warnings as errors; third-party headers are SYSTEM. Device code may
# call constexpr functions (--expt-relaxed-constexpr): conversions, dither bits and Philox are written once.
add_library(barista_options INTERFACE)
target_include_directories(barista_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
set(BARISTA_WARNINGS -Wall -Wextra -Werror -Wshadow -Wno-missing-field-initializers -Wnon-virtual-dtor -fno-omit-frame-pointer)
list(JOIN BARISTA_WARNINGS "," BARISTA_HOST_WARNINGS)
target_compile_options(barista_options INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:${BARISTA_WARNINGS}>"
  "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-lineinfo;--expt-relaxed-constexpr;-Xcompiler=${BARISTA_HOST_WARNINGS}>")
if(BARISTA_SANITIZE)
  target_compile_options(barista_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${BARISTA_SANITIZE};-O1>")
  target_link_options(barista_options INTERFACE -fsanitize=${BARISTA_SANITIZE})
endif()

# barista_library(NAME SOURCES a.cc … DEPS target …): a static library `barista_NAME` with the alias barista::NAME.
function(barista_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(barista_${name} STATIC ${ARG_SOURCES})
  add_library(barista::${name} ALIAS barista_${name})
  target_link_libraries(barista_${name} PUBLIC barista_options ${ARG_DEPS})
endfunction()

# barista_test(NAME SOURCES a.cc … DEPS target … [LABELS unit|golden|…]): a GoogleTest program, registered as ctest NAME.
function(barista_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE barista_options ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 600)
endfunction()
