# This file is one call of the user's function: decoded, bound, called, encoded.

# What came of a whole request body, as a list: `kind` is answered, refused or failed, `text` the result or the reason.
answer <- function(binding, fun, body) {
  arguments <- tryCatch(bind(binding, decode(body)), not_readable = identity, does_not_fit = identity)
  if (inherits(arguments, "condition")) {
    return(list(kind = "refused", text = conditionMessage(arguments), took_ms = 0, trace = ""))
  }
  started <- seconds()
  outcome <- guarded(call_with(fun, binding$name, arguments))
  took_ms <- max(0, seconds() - started) * 1000
  if (!is.null(outcome$condition)) {
    return(list(kind = "failed", text = described(outcome$condition), took_ms = took_ms, trace = outcome$trace))
  }
  text <- tryCatch(encode(outcome$value), error = identity)
  if (!inherits(text, "condition")) return(list(kind = "answered", text = text, took_ms = took_ms, trace = ""))
  why <- if (inherits(text, "not_json")) conditionMessage(text) else described(text)
  why <- paste0(binding$name, "() returned what JSON cannot hold: ", why)
  list(kind = "failed", text = why, took_ms = took_ms, trace = "")
}

# Call it with names instead of values in the call itself, which is what traces and error messages show.
call_with <- function(fun, name, arguments) {
  frame <- new.env(parent = globalenv())
  assign(name, fun, envir = frame)
  slots <- paste0(".argument", seq_along(arguments))[seq_along(arguments)]
  given <- names(arguments)
  if (!is.null(given)) {
    slots <- ifelse(given == name | !nzchar(given), slots, given)
  }
  for (at in seq_along(slots)) assign(slots[[at]], arguments[[at]], envir = frame)
  parts <- lapply(slots, as.name)
  names(parts) <- given
  their_code(as.call(c(list(as.name(name)), parts)), frame)
}
