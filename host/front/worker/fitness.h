/* Is this machine fit for the models: what RUNPOD_MIN_MEMORY_GB and RUNPOD_MIN_DISK_PERCENT ask
 * for, before a job is taken; RUNPOD_SKIP_AUTO_SYSTEM_CHECKS=true asks for nothing. Source: runpod
 * 1.12.0 (PyPI: rp_system_fitness.py); unlike it, only what is asked for is checked: a small model
 * needs no 4 GB.
 */
#ifndef WORKER_FITNESS_H
#define WORKER_FITNESS_H

#include "base/base.h"

/* 0; or ERR_NO_MEMORY, ERR_STORAGE and what is missing, with the check's name ("memory", "disk") as
 * the field; or ERR_INVALID for a variable that is no number. `cache_dir`: whose disk is looked
 * at. */
int fitness_check(yaml_lookup getenv, void *getenv_arg, const char *cache_dir, struct err *err);

#endif
