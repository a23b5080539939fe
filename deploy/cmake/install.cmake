# `cmake --install build/PRESET --prefix DIR --strip`: what a machine needs that runs Barista. The distribution's libraries
# are its own business (RUNTIME_PACKAGES in deploy/versions.env); NVIDIA's, which come as wheels, go into lib/.
install(TARGETS barista-server RUNTIME_DEPENDENCY_SET barista_libraries)
install(TARGETS barista)
install(FILES ${CMAKE_BINARY_DIR}/barista.pb LICENSE NOTICE DESTINATION share/barista)

if(BARISTA_CUDA)
  set_target_properties(barista-server PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
  install(RUNTIME_DEPENDENCY_SET barista_libraries
    DIRECTORIES ${CUDAToolkit_LIBRARY_DIR}
    PRE_INCLUDE_REGEXES "^libcu(dart|blas)" PRE_EXCLUDE_REGEXES ".")
  # Their licence, where they came as wheels.
  file(REAL_PATH ${CUDAToolkit_LIBRARY_DIR} cuda_libraries)
  file(GLOB cuda_licence ${cuda_libraries}/../../../nvidia_cuda_runtime-*.dist-info/licenses/License.txt)
  if(cuda_licence)
    install(FILES ${cuda_licence} DESTINATION share/barista RENAME NVIDIA-LICENSE)
  endif()
endif()
