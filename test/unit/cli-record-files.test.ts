// `lowflame record` and its output files: links, devices, folders, files that fail, a disk that fills up.
