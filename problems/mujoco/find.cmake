# Finds MuJoCo: Debian's, or any from 2.2.2 on in MUJOCO_ROOT, which is an unpacked release (include/, lib/) or the
# folder `mujoco` of the Python wheel (include/ and a library without the link libmujoco.so), or what holds that folder.
# Sets MUJOCO_INCLUDE, MUJOCO_LIBRARY, and MUJOCO_HAS: the fields that not every version has (problems/mujoco/engine.h).
set(MUJOCO_ROOT "" CACHE PATH "MuJoCo: an unpacked release, or the folder of its Python wheel")
if(NOT "${MUJOCO_ROOT}" STREQUAL "${MUJOCO_FOUND_IN}") # another one than last time
  unset(MUJOCO_INCLUDE CACHE)
  unset(MUJOCO_LIBRARY CACHE)
endif()
set(MUJOCO_FOUND_IN "${MUJOCO_ROOT}" CACHE INTERNAL "")
if(MUJOCO_ROOT)
  find_path(MUJOCO_INCLUDE mujoco/mujoco.h PATHS ${MUJOCO_ROOT} ${MUJOCO_ROOT}/mujoco PATH_SUFFIXES include
            NO_DEFAULT_PATH)
  file(GLOB mujoco_libraries ${MUJOCO_ROOT}/lib/libmujoco.so ${MUJOCO_ROOT}/libmujoco.so*
       ${MUJOCO_ROOT}/mujoco/libmujoco.so*)
  if(NOT MUJOCO_LIBRARY AND mujoco_libraries)
    list(GET mujoco_libraries 0 mujoco_library)
    set(MUJOCO_LIBRARY ${mujoco_library} CACHE FILEPATH "MuJoCo's library")
  endif()
  if(NOT MUJOCO_INCLUDE OR NOT MUJOCO_LIBRARY)
    message(FATAL_ERROR "MUJOCO_ROOT=${MUJOCO_ROOT} has no include/mujoco/mujoco.h or no libmujoco.so; "
                        "expected an unpacked release of MuJoCo or the folder of its Python wheel")
  endif()
else()
  find_path(MUJOCO_INCLUDE mujoco/mujoco.h)
  find_library(MUJOCO_LIBRARY mujoco)
endif()

set(MUJOCO_HAS "")
if(MUJOCO_INCLUDE AND MUJOCO_LIBRARY)
  include(CheckCSourceCompiles)
  # One compilation per name and version: the result is kept under both.
  file(STRINGS ${MUJOCO_INCLUDE}/mujoco/mujoco.h mujoco_version REGEX "define mjVERSION_HEADER")
  string(REGEX MATCH "[0-9]+" mujoco_version "${mujoco_version}")
  set(CMAKE_REQUIRED_INCLUDES ${MUJOCO_INCLUDE})
  set(CMAKE_REQUIRED_QUIET ON)
  set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
  function(mujoco_check name expression)
    check_c_source_compiles("#include <mujoco/mujoco.h>\nlong f(const mjModel *m);\nlong f(const mjModel *m) { return \
(long)sizeof(${expression}) + (long)sizeof(m->nq); }\n" mujoco_${mujoco_version}_${name})
    if(mujoco_${mujoco_version}_${name})
      set(MUJOCO_HAS ${MUJOCO_HAS} CTPG_MUJOCO_HAS_${name} PARENT_SCOPE)
    endif()
  endfunction()
  foreach(field actuator_actadr actuator_actearly actuator_delay jnt_actfrclimited nactuator nplastic nplugin
                sensor_delay tendon_actfrclimited)
    mujoco_check(${field} "m->${field}")
  endforeach()
  foreach(field disableactuator sleep_tolerance)
    mujoco_check(${field} "m->opt.${field}")
  endforeach()
  mujoco_check(mjDYN_FILTEREXACT mjDYN_FILTEREXACT)
  mujoco_check(mj_addBufferVFS "(&mj_addBufferVFS)")
  unset(CMAKE_TRY_COMPILE_TARGET_TYPE)
  unset(CMAKE_REQUIRED_INCLUDES)
  unset(CMAKE_REQUIRED_QUIET)
  message(STATUS "MuJoCo: ${MUJOCO_LIBRARY}, version number ${mujoco_version}")
else()
  message(STATUS "MuJoCo: not found; the problems cartpole and mujoco will be unavailable")
endif()
