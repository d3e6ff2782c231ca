/* mkl_vendor_check.c - answers MKL's question whether the processor is Intel's with yes. compare.py preloads it into one
   PyTorch column, so that a claim "faster than PyTorch" is not one over a rival whose library holds back by brand. */
int mkl_serv_intel_cpu(void) { return 1; }
int mkl_serv_intel_cpu_true(void) { return 1; }
