"""``python -m branchpoint.notebook -f CONNECTION_FILE``: what the kernelspec starts."""

from ipykernel.kernelapp import IPKernelApp

from branchpoint.notebook.kernel import BranchpointKernel

IPKernelApp.launch_instance(kernel_class=BranchpointKernel)
