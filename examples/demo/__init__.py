"""Label Studio and the backend on this machine: for `make demo`, and for the browser's tests."""
