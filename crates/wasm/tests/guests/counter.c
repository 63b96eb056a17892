/* A guest whose functions are called by name, and which keeps its state in memory. */

static int counter = 40;

__attribute__((export_name("count"))) int count(int by) {
    counter += by;
    return counter;
}

__attribute__((export_name("spin"))) void spin(void) {
    for (volatile int i = 0;; i++) counter++;
}
