"""Settings, job names, logging and default policy: values that every room may read, importing none of ours."""
