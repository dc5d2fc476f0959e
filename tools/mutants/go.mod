module refit.dev/refit/tools/mutants

go 1.26.0
