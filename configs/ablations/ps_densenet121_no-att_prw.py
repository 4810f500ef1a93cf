# The row of the paper's Table II, under the name by which the ablations look for it.
_base_ = '../ps_densenet121_prw.py'
