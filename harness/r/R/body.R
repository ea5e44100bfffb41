# This file is the bytes of a body as the caller meant them: unpacked when they came packed, and never too many.

GZIP_MAGIC <- as.raw(c(0x1f, 0x8b))

# The body, unpacked. Signals `body_refused` with a `status`.
plain_body <- function(req, body, most) {
  if (is.null(body)) body <- raw()
  if (length(body) <= most && tolower(header(req, "CONTENT_ENCODING", "identity")) == "gzip") {
    body <- gunzip(body, most + 1)
  }
  if (length(body) > most) body_refused(413L, "the body has more than the ", whole(most), " bytes that are taken")
  body
}

# The first `most` bytes of what is packed in `body`.
gunzip <- function(body, most) {
  if (!identical(utils::head(body, 2L), GZIP_MAGIC)) body_refused(400L, "the body is not gzip, as its Content-Encoding says")
  packed <- gzcon(rawConnection(body))
  on.exit(close(packed))
  tryCatch(
    readBin(packed, "raw", most),
    error = function(e) body_refused(400L, "the body is not whole gzip"),
    warning = function(e) body_refused(400L, "the body is not whole gzip")
  )
}

body_refused <- function(status, ...) {
  condition <- list(message = paste0(...), call = NULL, status = status)
  stop(structure(class = c("body_refused", "error", "condition"), condition))
}
