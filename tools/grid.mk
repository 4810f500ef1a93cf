# Works through runs of a grid. tools/run_grid.py writes the config of each and starts, with these
# settings in the environment:
#
#   folder=work_dirs/grids/NAME tools=tools python=python make -k -j1 -f tools/grid.mk RUN ...
#
# final.pth links to the checkpoint of the last epoch. What a step leaves is whole or absent, and a step whose result is there is left out. The lock of
# a run is let go when the last process ends that works on it, however that comes about.

# RUN leaves a run to whoever works on it; RUN.wait waits for them, and goes on where they stopped.
name = $(@:.wait=)
# Processes of a run on this machine, and the partition of a Slurm cluster to run on instead.
gpus ?= 1
partition ?=

config := "$$run/config.py"
trained := "$$run/final.pth"
predicted := "$$run/predictions.npz"
measured := "$$run/metrics.json"
ifneq ($(partition),)
  train = "$$tools/slurm_train.sh" $(partition) $(name) $(config) "$$run/train"
  test = "$$tools/slurm_test.sh" $(partition) $(name) $(config) $(trained)
else ifneq ($(gpus),1)
  train = "$$tools/dist_train.sh" $(config) $(gpus) --work-dir "$$run/train"
  test = "$$tools/dist_test.sh" $(config) $(trained) $(gpus)
else
  train = "$$python" "$$tools/train.py" $(config) --work-dir "$$run/train"
  test = "$$python" "$$tools/test.py" $(config) $(trained)
endif

.ONESHELL:
.PHONY: $(MAKECMDGOALS)
# What failed is not tried again.
$(filter %.wait,$(MAKECMDGOALS)): %.wait: %
$(MAKECMDGOALS):
	@export PYTHON="$$python" run="$$folder/$(name)"
	exec 9>> "$$run/lock"
	flock $(if $(filter %.wait,$@),,-n) 9 || {
		echo "$@: somebody else works on it; waiting for that when the others are done"
		exit 0
	}
	cut -d ' ' -f 5 /proc/self/stat > "$$run/lock"  # the group of the run's processes
	step() {
		step=$$1 result=$$2 log=$$run/$$1.log
		shift 2
		echo "$(name): $$step, log in $$log"
		echo "$$ $$*" >> "$$log"
		"$$@" >> "$$log" 2>&1 < /dev/null
		status=$$?
		if [ $$status = 0 ]; then
			[ -e "$$result" ] && return
			status="0, without its result"
		fi
		echo "exit status $$status" >> "$$log"
		echo "$(name): FAILED"
		exit 1
	}
	if [ ! -e $(measured) ]; then
		if [ ! -e $(predicted) ]; then
			[ -e $(trained) ] || step train $(trained) $(train) --resume
			step test $(predicted) $(test) --work-dir "$$run/test" --out $(predicted)
		fi
		# On this machine always: it takes seconds and no GPU.
		step evaluate $(measured) "$$python" "$$tools/analysis_tools/eval_search.py" \
			$(config) $(predicted) --out $(measured)
	fi
	echo "$(name): complete"
