# This file is how a failed call is shown to the model's owner: the calls that led to it, from their own code on.

CALLS_SHOWN <- 40L
LINE_LENGTH <- 200L

# The calls in `stack` (see `sys.calls`) as lines, the innermost first.
trace_text <- function(condition, stack) {
  lines <- vapply(rev(utils::tail(of_theirs(as.list(stack)), CALLS_SHOWN)), call_text, "")
  first <- if (inherits(condition, "interrupt")) character() else described(condition)
  paste0(paste(c(first, if (length(lines)) paste0("  in ", lines)), collapse = "\n"), "\n")
}

# Evaluate what is not the harness's own: the one place where that is done, by which traces know where to begin.
their_code <- function(expression, environment) {
  compiler::enableJIT(3) # theirs is compiled as R does it; ours is not: see README, "Speed"
  on.exit(compiler::enableJIT(0))
  eval(expression, environment)
}

# The calls after `their_code(...)`, without those of evaluating at their start and of signalling at their end.
of_theirs <- function(stack) {
  name_of <- function(call) if (is.symbol(call[[1L]])) as.character(call[[1L]]) else if (is.call(call[[1L]])) "::" else ""
  names <- vapply(stack, name_of, "")
  border <- which(names == "their_code")
  if (!length(border)) return(list())
  from <- border[[length(border)]] + 1L
  signalled <- which(names %in% c("stop", ".handleSimpleError") & seq_along(names) >= from)
  to <- if (length(signalled)) signalled[[1L]] - 1L else length(stack)
  at <- seq_along(stack)
  stack[at >= from & at <= to & !names %in% c("eval", "")]
}

call_text <- function(call) {
  text <- paste(deparse(call, width.cutoff = 120L, nlines = 1L), collapse = " ")
  reference <- attr(call, "srcref")
  file <- if (is.null(reference)) "" else basename(attr(reference, "srcfile")$filename)
  at <- if (nzchar(file)) paste0(" (", file, ":", reference[[1L]], ")") else ""
  paste0(cut_text(one_line(text), LINE_LENGTH), at)
}
