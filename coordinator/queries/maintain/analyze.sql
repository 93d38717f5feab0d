analyze sweeps, sweep_counts, jobs, attempts, results, result_files
