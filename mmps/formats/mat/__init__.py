"""MATLAB files: arrays of versions 5 to 7, structs in columns, and the HDF5 of version 7.3."""
