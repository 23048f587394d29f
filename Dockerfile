# The service with the built-in model. Other models are mounted at /models (SAM_MODEL names one).

FROM python:3.11-slim-bookworm AS build

WORKDIR /src
RUN python -m venv /opt/sam-backend
COPY requirements.txt ./
RUN /opt/sam-backend/bin/pip install --no-cache-dir --no-deps -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY sam_backend ./sam_backend
RUN /opt/sam-backend/bin/pip install --no-cache-dir --no-deps .


FROM python:3.11-slim-bookworm

# /cache is there for a volume: SAM_CACHE_DIR=/cache keeps embeddings across restarts.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin sam && install -d -o 10001 /cache
COPY --from=build /opt/sam-backend /opt/sam-backend

# Inside a container nobody but its own network reaches the port; what is published is decided outside.
ENV SAM_HOST=0.0.0.0 \
    SAM_MODEL_DIR=/models \
    PORT=9090

USER 10001
WORKDIR /models
EXPOSE 9090

# The first /health comes long before a large model is compiled: it says whether the process answers.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/opt/sam-backend/bin/python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=4)"]

ENTRYPOINT ["/opt/sam-backend/bin/sam-backend"]
CMD ["serve"]
