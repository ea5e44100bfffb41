# This file is the harness's own log: one line an event, on stderr, among what the user's code writes.

# Write one event with its values, and a trace under it where there is one.
log_event <- function(event, ..., trace = "") {
  values <- list(...)
  words <- if (length(values)) paste0(" ", names(values), "=", vapply(values, format, ""), collapse = "") else ""
  if (nzchar(trace) && !endsWith(trace, "\n")) trace <- paste0(trace, "\n")
  cat(paste0("modelway_harness: ", event, words, "\n", trace), file = stderr())
}

# Seconds by a clock that only differences are taken of.
seconds <- function() as.numeric(Sys.time())
