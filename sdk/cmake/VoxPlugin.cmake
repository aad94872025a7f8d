# vox_add_plugin(NAME SOURCES file... [LIBRARIES target...])
# Makes NAME.so, which exports vox_entry and nothing else.
function(vox_add_plugin name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
    set(map ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/plugin.map)
    add_library(${name} MODULE ${ARG_SOURCES})
    set_target_properties(${name} PROPERTIES
        PREFIX "" SUFFIX ".so" C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden
        LINK_DEPENDS ${map})
    target_link_libraries(${name} PRIVATE VoxSdk::vox_sdk ${ARG_LIBRARIES})
    target_link_options(${name} PRIVATE -Wl,--version-script=${map})
    # A sanitizer's runtime lives in the program, so its symbols stay open in the plugin.
    if(NOT CMAKE_C_FLAGS MATCHES "-fsanitize" AND NOT VOX_SANITIZE)
        target_link_options(${name} PRIVATE -Wl,-z,defs)
    endif()
endfunction()
