/*
** core_int.h: what the files of ext/core share with each other and with nobody else.
*/
#ifndef PLLM_CORE_INT_H
#define PLLM_CORE_INT_H

#include "personalllm.h"

#endif
