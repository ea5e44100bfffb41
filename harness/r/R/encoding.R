# This file is how what the function returned becomes JSON text.
#
# A vector of length one becomes a scalar, unless it is wrapped in I(); a longer one, or an empty one, a list; a list
# with names an object; a data frame a list of its rows; a matrix a list of rows. NA, NaN and the infinities become null.
# A number has as many digits as it takes to read the very same one again.

FEW <- 40L # elements, up to which going through them one by one is quicker

# The result as JSON text, on one line. Signals `not_json`, which names the place in the result.
encode <- function(result) {
  deeply <- function(e) if (is_tree(result)) tree_text(result) else refuse("not_json", "result is nested too deeply")
  tryCatch(
    encoded(result, "result"),
    stackOverflowError = deeply,
    expressionStackOverflowError = deeply,
    CStackOverflowError = deeply
  )
}

encoded <- function(value, path) {
  if (is.null(value)) return("null")
  if (is.data.frame(value)) return(rows(value, path))
  if (is.atomic(value)) return(vector_text(value, path))
  if (!is.list(value) || isS4(value)) not_json(path, " is of type ", type_name(value))
  if (inherits(value, "POSIXlt")) return(vector_text(as.POSIXct(value), path))
  if (is_tree(value) && length(value) + sum(lengths(value)) > FEW) {
    text <- tryCatch(tree_text(value), not_json = function(e) "") # the place of what cannot be held is found below
    if (nzchar(text)) return(text)
  }
  names <- names(value)
  if (is.null(names)) {
    parts <- vapply(seq_along(value), function(at) encoded(value[[at]], paste0(path, "[[", at, "]]")), "")
    return(paste0("[", paste(parts, collapse = ","), "]"))
  }
  names <- ifelse(nzchar(names), names, as.character(seq_along(names)))
  parts <- vapply(seq_along(value), function(at) encoded(value[[at]], place(path, names[[at]])), "")
  paste0("{", paste(string_text(names), parts, sep = ":", collapse = ","), "}")
}

vector_text <- function(value, path) {
  if (is.raw(value)) return(string_text(jsonlite::base64_enc(value)))
  if (is.array(value) && length(dim(value)) > 1L) return(array_text(value, path))
  texts <- scalars(value, path)
  if (length(texts) == 1L && !inherits(value, "AsIs")) return(texts)
  paste0("[", paste(texts, collapse = ","), "]")
}

# Every element as JSON text.
scalars <- function(value, path) {
  if (is.factor(value)) value <- as.character(value)
  if (inherits(value, "Date")) value <- format(value, "%Y-%m-%d")
  if (inherits(value, "POSIXct")) value <- instant_text(value)
  is_na <- is.na(value)
  value <- if (inherits(value, "integer64")) format(value) else as.vector(unclass(value))
  texts <- switch(typeof(value),
    logical = ifelse(value, "true", "false"),
    integer = format(value, trim = TRUE, scientific = FALSE),
    double = number_text(value),
    character = string_text(value),
    not_json(path, " is of type ", type_name(value))
  )
  if (is.double(value)) is_na <- !is.finite(value)
  texts[is_na] <- "null"
  texts
}

number_text <- function(value) {
  short <- sprintf("%.15g", value)
  exact <- is.finite(value) & suppressWarnings(as.numeric(short)) != value
  exact[is.na(exact)] <- FALSE
  short[exact] <- sprintf("%.17g", value[exact])
  short
}

string_text <- function(value) {
  if (!length(value)) return(character())
  value <- gsub('(["\\\\])', "\\\\\\1", as_utf8(as.character(value)))
  if (any(grepl("[\001-\037]", value))) {
    for (code in unlist(lapply(1:31, intToUtf8))) {
      value <- gsub(code, sprintf("\\u%04x", utf8ToInt(code)), value, fixed = TRUE)
    }
  }
  paste0('"', value, '"')
}

# ISO 8601 with the time zone's offset, microseconds only where there are any.
instant_text <- function(value) {
  whole <- format(value, "%Y-%m-%dT%H:%M:%S")
  micros <- round((as.numeric(value) %% 1) * 1e6)
  part <- ifelse(!is.na(micros) & micros > 0 & micros < 1e6, sprintf(".%06d", as.integer(micros)), "")
  offset <- sub("([0-9]{2})$", ":\\1", format(value, "%z"))
  ifelse(is.na(value), NA, paste0(whole, part, offset))
}

array_text <- function(value, path) {
  texts <- array(scalars(value, path), dim(value))
  while (length(dim(texts)) > 1L) {
    over <- seq_len(length(dim(texts)) - 1L)
    texts <- apply(texts, over, function(row) paste0("[", paste(row, collapse = ","), "]"), simplify = TRUE)
    if (is.null(dim(texts))) texts <- array(texts, length(texts))
  }
  paste0("[", paste(texts, collapse = ","), "]")
}

rows <- function(frame, path) {
  if (nrow(frame) == 0L) return("[]")
  if (ncol(frame) == 0L) return(paste0("[", paste(rep("{}", nrow(frame)), collapse = ","), "]"))
  columns <- lapply(seq_along(frame), function(at) {
    column <- frame[[at]]
    name <- names(frame)[[at]]
    texts <- if (is.atomic(column) && is.null(dim(column)) && !is.raw(column)) {
      scalars(column, place(path, name))
    } else {
      cells(column, nrow(frame), place(path, name))
    }
    paste0(string_text(name), ":", texts)
  })
  paste0("[", paste0("{", do.call(paste, c(columns, sep = ",")), "}", collapse = ","), "]")
}

# The cells of a column that holds lists, a matrix or a data frame.
cells <- function(column, count, path) {
  one <- function(at) {
    if (is.data.frame(column)) {
      text <- rows(column[at, , drop = FALSE], path)
      return(substr(text, 2L, nchar(text) - 1L))
    }
    if (!is.null(dim(column))) return(encoded(I(as.vector(column[at, ])), path))
    encoded(column[[at]], paste0(path, "[[", at, "]]"))
  }
  vapply(seq_len(count), one, "")
}

place <- function(path, name) paste0(path, "$", cut_text(name, NAME_LENGTH))

not_json <- function(...) refuse("not_json", paste0(...))
