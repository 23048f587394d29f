"""Our own server: the process, the Flask application in it, its endpoints, and what becomes of errors."""
