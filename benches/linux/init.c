// The first program of Linux here: loads the module of this folder, which ends the run. Without a C library.

enum { OPENAT = 56, WRITE = 64, REBOOT = 142, FINIT_MODULE = 273 };
enum { AT_FDCWD = -100, REBOOT_MAGIC = 0xfee1dead, REBOOT_MAGIC2 = 0x28121969, REBOOT_POWER_OFF = 0x4321fedc };

static long call(long number, long a, long b, long c, long d)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;

    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}

void _start(void)
{
    static const char failed[] = "the module could not be loaded\n";
    long module = call(OPENAT, AT_FDCWD, (long)"/bench.ko", 0, 0);
    if (module < 0 || call(FINIT_MODULE, module, (long)"", 0, 0) < 0)
        call(WRITE, 1, (long)failed, sizeof failed - 1, 0);
    call(REBOOT, REBOOT_MAGIC, REBOOT_MAGIC2, REBOOT_POWER_OFF, 0);
}
