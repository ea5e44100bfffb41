# This file is one call of the user's function: decoded, bound, called, encoded.

# What came of a whole request body, as a list: `kind` is answered, refused, too_large or failed, `text` the result or the reason.
answer <- function(binding, fun, body, most_values = Inf) {
  arguments <- tryCatch(
    bind(binding, decode(body, most_values)),
    not_readable = identity, does_not_fit = identity, too_large = identity
  )
  if (inherits(arguments, "condition")) {
    return(outcome_of(if (inherits(arguments, "too_large")) "too_large" else "refused", conditionMessage(arguments)))
  }
  began <- seconds()
  outcome <- guarded(call_with(fun, binding$name, arguments))
  setTimeLimit() # theirs, where they left one
  took_ms <- max(0, seconds() - began) * 1000
  if (Sys.getlocale("LC_NUMERIC") != "C") Sys.setlocale("LC_NUMERIC", "C") # else numbers are written with commas
  if (!is.null(outcome$condition)) {
    return(outcome_of("failed", described(outcome$condition), began, took_ms, outcome$trace))
  }
  text <- tryCatch(encode(outcome$value), error = identity)
  if (!inherits(text, "condition")) return(outcome_of("answered", text, began, took_ms))
  why <- if (inherits(text, "not_json")) conditionMessage(text) else described(text)
  why <- paste0(binding$name, "() returned what JSON cannot hold: ", why)
  outcome_of("failed", why, began, took_ms)
}

# `began` is when the function was called, `took_ms` how long it took.
outcome_of <- function(kind, text, began = seconds(), took_ms = 0, trace = "") {
  list(kind = kind, text = text, began = began, took_ms = took_ms, trace = trace)
}

# Call it with names instead of values in the call itself, which is what traces and error messages show.
call_with <- function(fun, name, arguments) {
  frame <- new.env(parent = globalenv())
  assign(name, fun, envir = frame)
  slots <- paste0(".argument", seq_along(arguments))[seq_along(arguments)]
  given <- names(arguments)
  if (!is.null(given)) {
    taken <- given == name | !nzchar(given) | grepl("^[.][.]([.]|[0-9]+)$|^[.]argument", given) # R means more by these
    slots <- ifelse(taken, slots, given)
  }
  for (at in seq_along(slots)) assign(slots[[at]], arguments[[at]], envir = frame)
  parts <- lapply(slots, as.name)
  names(parts) <- given
  their_code(as.call(c(list(as.name(name)), parts)), frame)
}
