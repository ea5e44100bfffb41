# This file is the bytes of a body as the caller meant them: unpacked when they came packed, and never too many.

GZIP_MAGIC <- as.raw(c(0x1f, 0x8b))

# The body, unpacked. Signals `body_refused` with a `status`.
plain_body <- function(req, body, instance) {
  most <- instance$max_body_bytes
  if (is.null(body)) body <- raw()
  if (length(body) <= most && coding_of(req) == "gzip") {
    body <- gunzip(body, most + 1)
  }
  if (length(body) > most) {
    why <- share_words(instance$is_bound_by_memory)
    body_refused(413L, "the body has more than the ", whole(most), " bytes that are taken", why)
  }
  body
}

coding_of <- function(req) {
  told <- tolower(trimws(header(req, "CONTENT_ENCODING", "")))
  switch(told, "x-gzip" = "gzip", told)
}

# The first `most` bytes of what is packed in `body`.
gunzip <- function(body, most) {
  if (!identical(utils::head(body, 2L), GZIP_MAGIC)) body_refused(400L, "the body is not gzip, as its Content-Encoding says")
  packed <- gzcon(rawConnection(body))
  on.exit(close(packed))
  cut_off <- function(e) body_refused(400L, "the body is not whole gzip")
  plain <- tryCatch(readBin(packed, "raw", most), error = cut_off, warning = cut_off)
  if (length(plain) < most && !ends_with_size(body, length(plain))) cut_off()
  plain
}

# Packed bytes end with how many there were (modulo 2^32): R reads what is cut off, or a second part, without a word.
ends_with_size <- function(body, size) {
  told <- sum(as.integer(utils::tail(body, 4L)) * 256^(0:3))
  told == size %% 2^32
}

body_refused <- function(status, ...) {
  condition <- list(message = paste0(...), call = NULL, status = status)
  stop(structure(class = c("body_refused", "error", "condition"), condition))
}
