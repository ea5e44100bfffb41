# This file is the HTTP surface: `POST /model`, `GET /health` and `/openapi.json`, as a Plumber router.
#
# What is checked, in this order, so that the first thing wrong is the one that is told: path and method (404, 405), the
# name of the server that was meant (421), size, type and encoding of the body (413, 415): all of that before the body is
# read. Then whether the worker is free (503), and the body itself (400), which the worker judges.

HARNESS_VERSION <- "0.2.0"
METHODS <- list("/model" = "POST", "/health" = c("GET", "HEAD"), "/openapi.json" = c("GET", "HEAD"))

# What httpuv serves. `front` answers `front$health(request)`, `front$openapi(request)` and, with a promise,
# `front$model(request, body)`.
application <- function(front) {
  router <- plumber::Plumber$new(filters = NULL)
  for (page in list(list("/health", front$health), list("/openapi.json", front$openapi))) local({
    told <- page[[2L]]
    router$handle("GET", page[[1L]], function(req, res) fill(res, told(req)))
    router$handle("HEAD", page[[1L]], function(req, res) fill(res, without_body(told(req))))
  })
  router$handle("POST", "/model", function(req, res) {
    promises::then(front$model(req, req$rook.input$read()), function(answer) fill(res, answer))
  })
  router$setErrorHandler(function(req, res, error) {
    log_event("harness_failed", request_id = req$modelway_id, trace = described(error))
    why <- "the harness failed; the instance's log says why"
    fill(res, refusal(front, req, 500L, why))
  })
  list(
    call = function(req) counted_in(front, router$call(req)),
    onHeaders = function(req) {
      req$modelway_started <- seconds()
      req$modelway_id <- request_id(req)
      wrong <- wrong_in_head(front$instance, req)
      if (!is.null(wrong)) rook(refusal(front, req, wrong$status, wrong$reason, wrong$headers))
    }
  )
}

counted_in <- function(front, answer) {
  if (!promises::is.promise(answer)) return(answer)
  front$unanswered <- front$unanswered + 1L
  promises::finally(answer, function() front$unanswered <- front$unanswered - 1L)
}

# What is wrong in the head of a request, as a list of `status`, `reason` and `headers`; NULL when nothing is.
wrong_in_head <- function(instance, req) {
  path <- req$PATH_INFO
  allowed <- METHODS[[path]]
  if (is.null(allowed)) return(wrong(404L, "there is nothing at ", path, "; a worker answers POST /model, GET /health and /openapi.json"))
  if (!req$REQUEST_METHOD %in% allowed) {
    told <- wrong(405L, req$REQUEST_METHOD, " is not answered at ", path)
    told$headers <- list(Allow = paste(allowed, collapse = ", "))
    return(told)
  }
  server <- paste0(instance$instance_id, ".0")
  meant <- header(req, "X_MODELWAY_SERVER", server)
  if (meant != server) return(wrong(421L, "this is ", server, ", not ", meant))
  if (path == "/model") wrong_in_body_head(instance, req)
}

wrong_in_body_head <- function(instance, req) {
  size <- suppressWarnings(as.numeric(header(req, "CONTENT_LENGTH", "0")))
  most <- instance$max_body_bytes
  if (!is.na(size) && size > most) {
    return(wrong(413L, "the body has ", whole(size), " bytes; at most ", whole(most), " are taken", share_words(instance$is_bound_by_memory)))
  }
  kind <- tolower(trimws(sub(";.*", "", header(req, "CONTENT_TYPE", ""))))
  if (nzchar(kind) && !grepl("[/+]json$", kind)) {
    return(wrong(415L, 'the body must be JSON: send "Content-Type: application/json", not "', kind, '"'))
  }
  coding <- coding_of(req)
  if (!coding %in% c("", "identity", "gzip")) {
    return(wrong(415L, 'the body must be plain or gzip, not "Content-Encoding: ', coding, '"'))
  }
}

wrong <- function(status, ...) list(status = status, reason = as_utf8(paste0(...)), headers = list())

# Seconds until the caller's deadline. The router knows it best: the call may have waited there.
left_s <- function(instance, req) {
  remaining_ms <- milliseconds(req, "X_MODELWAY_REMAINING_MS")
  whole_s <- if (is.null(remaining_ms)) instance$request_timeout_s else remaining_ms / 1000
  left <- whole_s - (seconds() - req$modelway_started)
  deadline_ms <- milliseconds(req, "X_MODELWAY_DEADLINE_MS")
  if (is.null(deadline_ms)) left else min(left, deadline_ms / 1000 - seconds())
}

# How long to wait for the running call before this one is refused.
hold_s <- function(req) {
  held_ms <- milliseconds(req, "X_MODELWAY_HOLD_MS")
  if (is.null(held_ms)) 0 else held_ms / 1000
}

header <- function(req, name, default) {
  value <- req[[paste0("HTTP_", name)]]
  if (is.null(value)) default else value
}

milliseconds <- function(req, name) {
  told <- header(req, name, "")
  if (grepl("^-?[0-9]{1,15}$", told)) as.numeric(told)
}

request_id <- function(req) {
  named <- header(req, "X_REQUEST_ID", "")
  if (grepl("^[A-Z0-9]{16}$", named)) return(named)
  paste(sample(c(LETTERS, 0:9), 16L, replace = TRUE), collapse = "")
}

release_text <- function(instance) {
  encode(list(
    harness_version = HARNESS_VERSION,
    model_version = instance$version_id,
    model_version_number = instance$version_number
  ))
}

success <- function(front, req, took_ms, result, headers = list()) {
  head <- paste0(
    '{"model_time_in_ms": ', round(took_ms), ', "timing": ', sprintf("%.4f", took_ms), ', "request_id": "',
    req$modelway_id, '", "release": ', front$release
  )
  response(req, 200L, paste0(head, ', "result": ', result, "}"), headers)
}

# Where the time of a call went, in milliseconds: sourcing the script, once, before it; on the way to the function; in it,
# where it was called.
timing <- function(import_ms, wait_ms, compute_ms) {
  computed <- if (!is.null(compute_ms)) sprintf(", compute;dur=%.3f", max(0, compute_ms))
  list("Server-Timing" = paste0(sprintf("import;dur=%.3f, wait;dur=%.3f", import_ms, max(0, wait_ms)), computed))
}

refusal <- function(front, req, status, reason, headers = list()) {
  errors <- paste0('{"errors": [', string_text(reason), '], "request_id": "', req$modelway_id, '", "release": ')
  response(req, status, paste0(errors, front$release, "}"), headers)
}

response <- function(req, status, text, headers = list()) {
  own <- list("Content-Type" = "application/json", "X-Request-Id" = req$modelway_id)
  list(status = status, headers = c(own, headers), body = text)
}

without_body <- function(answer) {
  answer$body <- ""
  answer
}

fill <- function(res, answer) {
  res$status <- answer$status
  for (name in names(answer$headers)) res$setHeader(name, answer$headers[[name]])
  res$body <- answer$body
  res
}

rook <- function(answer) list(status = answer$status, headers = answer$headers, body = charToRaw(answer$body))
