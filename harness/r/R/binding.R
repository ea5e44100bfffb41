# This file is how a parsed body becomes the arguments of a call, or one message that says why it cannot.
#
# All of it is decided before the call, against the function's formal arguments: an error from inside the function is
# the function's own and is never read as a body that does not fit. Names must be exact; R's partial matching is not
# used. An argument without a default is required, unless the function itself asks `missing()` about it.

# What one function takes, read once.
binding_of <- function(name, fun) {
  formal <- formals(args(fun))
  names <- as.character(names(formal))
  dots <- match("...", names)
  is_open <- vapply(formal, function(default) is.symbol(default) && !nzchar(as.character(default)), NA)
  list(
    name = name,
    by_position = if (is.na(dots)) names else utils::head(names, dots - 1L),
    only_by_name = if (is.na(dots)) character() else utils::tail(names, length(names) - dots),
    required = setdiff(names[is_open], c("...", asked_about(fun, "missing"))),
    takes_any = !is.na(dots)
  )
}

# The arguments that a parsed body asks for, as a list. Signals `does_not_fit`, and nothing else.
bind <- function(binding, document) {
  if (!is.list(document) || is.null(names(document))) {
    kind <- json_kind(document)
    does_not_fit('the body must be a JSON object with "data" or "parameters", not ', kind)
  }
  data <- last_named(document, "data")
  parameters <- last_named(document, "parameters")
  if (!is.null(data) && !is.null(parameters)) does_not_fit('the body has both "data" and "parameters"; send one of them')
  if (!is.null(data)) return(by_name(binding, data))
  if (!is.null(parameters)) return(by_position(binding, parameters))
  does_not_fit('the body must have "data", an object of named arguments, or "parameters", a list of arguments')
}

by_name <- function(binding, data) {
  if (!is.list(data) || is.null(names(data))) {
    does_not_fit('"data" must be an object of named arguments, not ', json_kind(data))
  }
  data <- data[!duplicated(names(data), fromLast = TRUE)] # of a name that occurs twice the last one counts
  missing <- setdiff(binding$required, names(data))
  known <- c(binding$by_position, binding$only_by_name)
  unexpected <- if (binding$takes_any) names(data)[!nzchar(names(data))] else setdiff(names(data), known)
  said <- c(
    if (length(missing)) missing_words(missing),
    if (length(unexpected)) paste0("got ", counted(length(unexpected), "unexpected argument"), ": ", quoted(unexpected))
  )
  if (length(said)) does_not_fit(binding$name, "() ", paste(said, collapse = " and "))
  data
}

by_position <- function(binding, values) {
  if (!is.list(values) || !is.null(names(values))) {
    does_not_fit('"parameters" must be a list of arguments, not ', json_kind(values))
  }
  given <- length(values)
  slots <- binding$by_position
  if (given > length(slots) && !binding$takes_any) {
    least <- sum(slots %in% binding$required)
    most <- counted(length(slots), "argument")
    takes <- if (least == length(slots)) most else paste("from", least, "to", most)
    were <- if (given == 1L) "was" else "were"
    does_not_fit(binding$name, "() takes ", takes, " but ", given, " ", were, " given")
  }
  missing <- intersect(utils::tail(slots, max(0L, length(slots) - given)), binding$required)
  if (length(missing)) does_not_fit(binding$name, "() ", missing_words(missing))
  only_by_name <- intersect(binding$only_by_name, binding$required)
  if (length(only_by_name)) {
    how <- 'by name only: send "data" instead of "parameters"'
    does_not_fit(binding$name, "() takes ", quoted(only_by_name), " ", how)
  }
  values
}

missing_words <- function(names) {
  paste0("missing ", counted(length(names), "required argument"), ": ", quoted(names))
}

# The names that the function's body calls `asks` with: `missing(x)`.
asked_about <- function(fun, asks) {
  found <- character()
  look <- function(expression) {
    if (!is.call(expression)) return()
    if (identical(expression[[1L]], as.name(asks)) && length(expression) == 2L) {
      found <<- c(found, as.character(expression[[2L]]))
    }
    for (part in as.list(expression)) if (is.call(part)) look(part)
  }
  look(body(fun))
  found
}

last_named <- function(document, name) {
  at <- which(names(document) == name)
  if (length(at)) document[[at[length(at)]]]
}

does_not_fit <- function(...) refuse("does_not_fit", paste0(...))
