// A C program that does nothing but load a Go library (-buildmode=c-shared) and let it serve.
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **arguments) {
	void *library = count == 2 ? dlopen(arguments[1], RTLD_NOW) : NULL;
	void (*serve)(void) = library ? (void (*)(void))dlsym(library, "Serve") : NULL;
	if (!serve) {
		fprintf(stderr, "%s\n", count == 2 ? dlerror() : "usage: host LIBRARY");
		return 1;
	}
	serve();
	return 0;
}
