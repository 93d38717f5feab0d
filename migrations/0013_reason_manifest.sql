-- Why a job failed: the container engine refuses what its manifest asks for. No other try would change that.
alter type reason_kind add value 'manifest' before 'image';
