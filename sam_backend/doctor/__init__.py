"""`sam-backend doctor`: what stands between an annotator and a mask, one line each."""
