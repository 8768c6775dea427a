// engine.h -- where MuJoCo's versions differ: one name each for what 2.2 to 4.0 keep in different places
//
// CMake looks which fields the headers have and defines CTPG_MUJOCO_HAS_<field>; nothing here asks for a version.
#ifndef CTPG_MUJOCO_ENGINE_H
#define CTPG_MUJOCO_ENGINE_H

#include <mujoco/mujoco.h>

// Actuators; from MuJoCo 4 on one of them may have several controls, or none.
static inline int EngineActuators(const mjModel *m) {
#ifdef CTPG_MUJOCO_HAS_nactuator
  return (int)m->nactuator;
#else
  return (int)m->nu;
#endif
}

// The actuator that control i belongs to.
static inline int EngineActuatorOf(const mjModel *m, int control) {
#ifdef CTPG_MUJOCO_HAS_nactuator
  for (int a = 0; a < m->nactuator; a++)
    if (control >= m->actuator_ctrladr[a] && control < m->actuator_ctrladr[a] + m->actuator_ctrlnum[a]) return a;
  return -1;
#else
  (void)m;
  return control;
#endif
}

// Numbers of act that an actuator has, from *first on.
static inline int EngineStatesOf(const mjModel *m, int actuator, int *first) {
#ifdef CTPG_MUJOCO_HAS_actuator_actadr
  *first = m->actuator_actadr[actuator];
  return *first < 0 ? 0 : m->actuator_actnum[actuator];
#else
  *first = actuator - (int)(m->nu - m->na); // those with a state come last
  return *first < 0 ? 0 : 1;
#endif
}

// Actuators can be switched off by group, or all together.
static inline int EngineIsOff(const mjModel *m, int actuator) {
  if (m->opt.disableflags & mjDSBL_ACTUATION) return 1;
#ifdef CTPG_MUJOCO_HAS_disableactuator
  const int group = m->actuator_group[actuator];
  return group >= 0 && group < 31 && (m->opt.disableactuator & (1 << group));
#else
  (void)actuator;
  return 0;
#endif
}

// Forces limited beyond those of actuators themselves.
static inline int EngineLimitsForces(const mjModel *m) {
#ifdef CTPG_MUJOCO_HAS_jnt_actfrclimited
  for (int j = 0; j < m->njnt; j++)
    if (m->jnt_actfrclimited[j]) return 1;
#endif
#ifdef CTPG_MUJOCO_HAS_tendon_actfrclimited
  for (int j = 0; j < m->ntendon; j++)
    if (m->tendon_actfrclimited[j]) return 1;
#endif
  (void)m;
  return 0;
}

// Seconds by which MuJoCo delays a control or a sensor; 0: none.
static inline mjtNum EngineActuatorDelay(const mjModel *m, int actuator) {
#ifdef CTPG_MUJOCO_HAS_actuator_delay
  return m->actuator_delay[actuator];
#else
  (void)m, (void)actuator;
  return 0;
#endif
}
static inline mjtNum EngineSensorDelay(const mjModel *m, int sensor) {
#ifdef CTPG_MUJOCO_HAS_sensor_delay
  return m->sensor_delay[sensor] > 0 ? m->sensor_delay[sensor] : m->sensor_interval[2 * sensor];
#else
  (void)m, (void)sensor;
  return 0;
#endif
}

// Numbers that mj_step keeps beside qpos, qvel and act: of plugins, and of springs that yield.
static inline int EnginePluginCount(const mjModel *m) {
#ifdef CTPG_MUJOCO_HAS_nplugin
  return (int)m->nplugin;
#else
  (void)m;
  return 0;
#endif
}
static inline int EnginePlasticCount(const mjModel *m) {
#ifdef CTPG_MUJOCO_HAS_nplastic
  return (int)m->nplastic;
#else
  (void)m;
  return 0;
#endif
}

// Bodies that MuJoCo puts to sleep stop although their accelerations are not zero.
static inline int EngineSleeps(const mjModel *m) {
#ifdef CTPG_MUJOCO_HAS_sleep_tolerance
  return (m->opt.enableflags & mjENBL_SLEEP) != 0;
#else
  (void)m;
  return 0;
#endif
}

// Contacts that are foreseen one step ahead.
static inline int EngineLooksAhead(const mjModel *m) {
#ifdef CTPG_MUJOCO_HAS_mjENBL_SPECULATIVE
  return (m->opt.enableflags & (mjENBL_SPECULATIVE | mjENBL_IPC)) != 0;
#else
  (void)m;
  return 0;
#endif
}

// An actuator's dynamics whose rate mj_forward gives: act' is a function of act and the control.
static inline int EngineHasRate(int dynamics) {
#ifdef CTPG_MUJOCO_HAS_mjDYN_FILTEREXACT
  if (dynamics == mjDYN_FILTEREXACT) return 1; // another way to integrate the same equation
#endif
  return dynamics == mjDYN_NONE || dynamics == mjDYN_INTEGRATOR || dynamics == mjDYN_FILTER || dynamics == mjDYN_MUSCLE;
}

// Noise of sensors: random numbers of MuJoCo's own.
static inline void EngineForgetNoise(mjModel *m) {
#ifdef CTPG_MUJOCO_HAS_mjENBL_SENSORNOISE
  m->opt.enableflags &= ~mjENBL_SENSORNOISE;
#else
  (void)m;
#endif
}

// What concerns the step alone and would make f depend on opt.timestep is switched off: f is that of small steps.
static inline void EngineForgetStep(mjModel *m) {
  m->opt.disableflags |= mjDSBL_REFSAFE;    // contacts as stiff as written, whatever the step
  m->opt.disableflags &= ~mjDSBL_WARMSTART; // a solver begins where it is told to
  m->opt.integrator = mjINT_EULER;
  if (m->opt.solver != mjSOL_NEWTON) { // a few sweeps of others suffice only where each step goes on from the last one
    m->opt.solver = mjSOL_NEWTON;
    m->opt.tolerance = 1e-10;
  }
  if (m->opt.iterations < 100) m->opt.iterations = 100;
#ifdef CTPG_MUJOCO_HAS_actuator_actearly
  for (int a = 0; a < EngineActuators(m); a++) m->actuator_actearly[a] = 0; // force from act, not from act a step later
#endif
}

#endif
