#ifndef EASEL_RUNNER_HOST_LIBRARY_THREADS_H
#define EASEL_RUNNER_HOST_LIBRARY_THREADS_H

/*
 * How many threads oneDNN may use for calls from this thread. Its OpenMP is GCC's, whatever
 * compiler builds easel: declared here, since another's <omp.h> would bring its own.
 */
void omp_set_num_threads(int n);

#endif
