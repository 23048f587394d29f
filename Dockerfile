# The service, and the model it serves. MODEL says which: `builtin` needs nothing; vit_b, vit_l and vit_h are exported here,
# in a stage with PyTorch that no image keeps. BuildKit makes only the stages that are needed.
#
#   docker build -t sam-backend:0.1.0-builtin .
#   docker build -t sam-backend:0.1.0-vit_b --build-arg MODEL=vit_b .
#   docker build -t sam-backend:0.1.0-cells --build-arg MODEL=vit_b --build-arg CHECKPOINT=cells.pth --build-arg MODEL_ID=cells .

ARG MODEL=builtin


FROM python:3.11-slim-bookworm AS service

WORKDIR /src
RUN python -m venv /opt/sam-backend
COPY requirements.txt ./
RUN /opt/sam-backend/bin/pip install --no-cache-dir --no-deps -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY sam_backend ./sam_backend
RUN /opt/sam-backend/bin/pip install --no-cache-dir --no-deps .


FROM python:3.11-slim-bookworm AS export

WORKDIR /src
RUN python -m venv /opt/model-export
COPY requirements-export.txt ./
# PyTorch's own index has it for the CPU; PyPI's brings CUDA along.
RUN /opt/model-export/bin/pip install --no-cache-dir --no-deps -r requirements-export.txt --extra-index-url https://download.pytorch.org/whl/cpu
COPY sam_backend ./sam_backend
COPY model_export ./model_export
# A published checkpoint that lies in checkpoints/ is not downloaded. LICENSE is there because the folder need not be.
COPY LICENSE checkpoint[s] ./checkpoints/
ARG MODEL
ARG MODEL_ID
ARG CHECKPOINT
# Of what is downloaded or given, only what has the right checksum, or nothing but weights, is read.
RUN /opt/model-export/bin/python -m model_export export "$MODEL" --model-id "${MODEL_ID:-$MODEL}" --output "/models/${MODEL_ID:-$MODEL}" --cache checkpoints ${CHECKPOINT:+--checkpoint "checkpoints/$CHECKPOINT"}


# What the image has at /models: nothing, or what the stage above made.
FROM python:3.11-slim-bookworm AS model-builtin
RUN install -d /models

FROM export AS model-vit_b
FROM export AS model-vit_l
FROM export AS model-vit_h

# hadolint ignore=DL3006
FROM model-${MODEL} AS model


FROM python:3.11-slim-bookworm AS runtime

# /cache is there for a volume: embeddings outlive a restart.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin sam && install -d -o 10001 /cache
COPY --from=service /opt/sam-backend /opt/sam-backend
COPY --from=model /models /models

# Inside a container nobody but its own network reaches the port; what is published is decided outside.
ARG MODEL
ARG MODEL_ID
ENV SAM_HOST=0.0.0.0 \
    SAM_MODEL=${MODEL_ID:-${MODEL}} \
    SAM_MODEL_DIR=/models \
    SAM_CACHE_DIR=/cache \
    PORT=9090

USER 10001
WORKDIR /cache
EXPOSE 9090

# /health answers long before a large model is compiled: it says whether the process lives. Whoever balances asks /ready.
# 401, where SAM_PROTECT_STATUS is set, is an answer too.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/opt/sam-backend/bin/python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status >= 500)"]

# What is being answered has 30 seconds to end; `docker stop` itself waits for 10 unless it is told otherwise.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/sam-backend/bin/sam-backend"]
CMD ["serve"]
