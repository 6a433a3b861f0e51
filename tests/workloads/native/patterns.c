// patterns PATTERN LIMIT_MIB SECONDS SEED runs out of memory in one known way, as tests/workloads/patterns does, without Go:
// it waits for a line on stdin, and is then at the limit after about SECONDS.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIB (1 << 20)

static double limit_mib, seconds;
static char block[MIB];

static void check(int failed, const char *what) {
	if (failed) {
		perror(what);
		exit(1);
	}
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void rest_until(double due) {
	double left = due - now();
	if (left > 0)
		usleep(left * 1e6);
}

// 1 MiB's worth of work a step, total of them evenly over a duration.
static void steady(double total, double duration, void (*step)(void)) {
	double begin = now();
	for (double done = 0; done < total; done++) {
		step();
		rest_until(begin + duration * (done + 1) / total);
	}
}

// Many small objects of malloc's.
static void keep(void) {
	for (int bytes = 0; bytes < MIB;) {
		int size = 512 + rand() % (16 << 10);
		memset(malloc(size), 1, size);
		bytes += size;
	}
}

static int file_in(const char *directory) {
	int file = open(directory, O_TMPFILE | O_RDWR, 0600);
	check(file < 0, directory);
	return file;
}

static int file;
static off_t at;

// Written and locked: cache that cannot be dropped.
static void cached(void) {
	check(pwrite(file, block, MIB, at) != MIB, "pwrite");
	void *m = mmap(NULL, MIB, PROT_READ, MAP_SHARED, file, at);
	check(m == MAP_FAILED || mlock(m, MIB), "mlock");
	at += MIB;
}

static void written(void) { check(write(file, block, MIB) != MIB, "write"); }

static void piped(void) {
	int ends[2];
	check(pipe(ends) || fcntl(ends[1], F_SETPIPE_SZ, MIB) < 0, "pipe");
	check(write(ends[1], block, MIB) < 0, "write");
}

static void neighbour(void) {
	pid_t child = fork();
	check(child < 0, "fork");
	if (child == 0) {
		steady(limit_mib * 2, seconds * 2, keep);
		exit(2);
	}
	int adjust = open("/proc/self/oom_score_adj", O_WRONLY);
	check(write(adjust, "1000", 4) != 4, "oom_score_adj");
	steady(limit_mib * 0.08, 0.2, keep);
	pause();
}

int main(int argc, char **argv) {
	check(argc != 5, "patterns PATTERN LIMIT_MIB SECONDS SEED");
	limit_mib = atof(argv[2]), seconds = atof(argv[3]);
	srand(atoi(argv[4]));
	memset(block, 1, MIB);
	puts("ready");
	fflush(stdout);
	getchar();
	if (!strcmp(argv[1], "off_heap")) {
		steady(limit_mib * 2, seconds * 2, keep);
	} else if (!strcmp(argv[1], "page_cache")) {
		file = file_in(getenv("PATTERNS_DIRECTORY"));
		steady(limit_mib * 2, seconds * 2, cached);
	} else if (!strcmp(argv[1], "shmem")) {
		file = file_in("/dev/shm");
		steady(limit_mib * 2, seconds * 2, written);
	} else if (!strcmp(argv[1], "kernel_memory")) {
		steady(limit_mib * 2, seconds * 2, piped);
	} else if (!strcmp(argv[1], "neighbour")) {
		neighbour();
	}
	return 2; // the limit was not reached
}
