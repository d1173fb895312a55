#ifndef EASEL_RUNNER_BENCH_BENCH_H
#define EASEL_RUNNER_BENCH_BENCH_H

/*
 * easel-runner --bench: how fast every op and every stage of a model is, against what the
 * machine can do, all measured in one process and interleaved round by round. Runs on the
 * calling thread, which owns the device meanwhile.
 *
 * argv holds what follows --bench. Returns the exit status: 2 for wrong arguments.
 */
int bench_main(int argc, char **argv);

#endif
