/* Looks all the time whether the processor still knows that a division was inexact.
 *
 * The flag is set, the processor is kept busy for some milliseconds without another thought of
 * it, and then it is asked for. On a real computer, and in a sound replay, it never gets lost. */
#include <fenv.h>
#include <stdio.h>

#define SPIN 1500000 /* some 4 ms */
#define TELL 50      /* rounds */

int main(void)
{
    volatile double one = 1, three = 3, third;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int round = 1;; round++) {
        feclearexcept(FE_ALL_EXCEPT);
        third = one / three;
        for (volatile int i = 0; i < SPIN; i++)
            ;
        if (!fetestexcept(FE_INEXACT))
            printf("round %d: the flag was lost, %f\n", round, third);
        if (round % TELL == 0)
            printf("round %d\n", round);
    }
}
