# `cmake --install build/PRESET --prefix DIR --strip`: what a machine needs that runs Barista. Libraries are the distribution's
# business (RUNTIME_PACKAGES in deploy/versions.env), or lie in DIR/lib, where deploy/bundle.sh puts them. The programs name
# that folder by RPATH and not by the newer RUNPATH, which would not hold for what the libraries themselves need.
set_target_properties(barista-server barista PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
foreach(program barista-server barista)
  target_link_options(${program} PRIVATE LINKER:--disable-new-dtags)
endforeach()
install(TARGETS barista-server barista)
install(FILES ${CMAKE_BINARY_DIR}/barista.pb LICENSE NOTICE DESTINATION share/barista)

if(BARISTA_CUDA)  # CUDA's runtime is part of the server; its licence, where it came as a wheel
  file(REAL_PATH ${CUDAToolkit_LIBRARY_DIR} cuda_libraries)
  file(GLOB cuda_licence ${cuda_libraries}/../../../nvidia_cuda_runtime-*.dist-info/licenses/License.txt)
  if(cuda_licence)
    install(FILES ${cuda_licence} DESTINATION share/barista RENAME NVIDIA-LICENSE)
  endif()
endif()
