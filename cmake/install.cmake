# A normal install: programs, library, headers, pkg-config file, models and recipes.
install(TARGETS halftone LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY engine/include/halftone DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
configure_file(cmake/halftone.pc.in halftone.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/halftone.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(DIRECTORY assets/models DESTINATION ${CMAKE_INSTALL_DATADIR}/halftone)
