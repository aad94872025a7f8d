/* Stands for an OpenMP runtime: two libraries of it, by the names of two runtimes. */
int openmp_stand_in(void);

int openmp_stand_in(void)
{
    return 0;
}
