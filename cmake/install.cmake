# A normal install: programs, library, headers, pkg-config file, models, man pages. Everything finds
# the rest relative to itself, so that the tree can be moved after it was installed.
install(TARGETS halftone LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY engine/include/halftone DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY models pipelines DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/halftone
        FILES_MATCHING PATTERN "*.h")

file(RELATIVE_PATH HT_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" HT_PC_TO_PREFIX ${HT_PC_TO_PREFIX})
configure_file(cmake/halftone.pc.in halftone.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/halftone.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

file(RELATIVE_PATH bin_to_lib /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
foreach(program gen gen-batch gen-bench gen-eval gen-quantize)
    if(TARGET ${program})
        set_target_properties(${program} PROPERTIES INSTALL_RPATH $ORIGIN/${bin_to_lib})
        install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    endif()
endforeach()

if(TARGET gen-gui)
    set_target_properties(gen-gui PROPERTIES INSTALL_RPATH $ORIGIN/${bin_to_lib})
    install(TARGETS gen-gui RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    set(gui_data apps/gen-gui/data/org.halftone.GenGui)
    install(FILES ${gui_data}.desktop DESTINATION ${CMAKE_INSTALL_DATADIR}/applications)
    install(FILES ${gui_data}.metainfo.xml DESTINATION ${CMAKE_INSTALL_DATADIR}/metainfo)
    install(FILES ${gui_data}.svg DESTINATION ${CMAKE_INSTALL_DATADIR}/icons/hicolor/scalable/apps)
    install(FILES ${gui_data}-symbolic.svg
            DESTINATION ${CMAKE_INSTALL_DATADIR}/icons/hicolor/symbolic/apps)
    install(FILES docs/man/gen-gui.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()

install(FILES docs/man/gen.1 docs/man/gen-batch.1 docs/man/gen-bench.1 docs/man/gen-quantize.1
        DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(PROGRAMS apps/gen-batch/halftone.sbatch DESTINATION ${CMAKE_INSTALL_DATADIR}/halftone)
install(DIRECTORY assets/judge assets/models assets/prompts assets/recipes
        DESTINATION ${CMAKE_INSTALL_DATADIR}/halftone)
