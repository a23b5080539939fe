# Everything, with warnings as errors.
cmake --preset cpu -DBARISTA_TESTS=ON
cmake --build --preset cpu
