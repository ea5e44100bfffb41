# This file is how the bytes of a request's body become a document, or one message that says why they cannot.
#
# An object becomes a named list, an array a list, null NULL; a whole number an integer where R has one that large, any
# other number a numeric.

# The body as JSON. Signals `not_readable`, and nothing else.
decode <- function(body) {
  text <- text_of(body)
  if (!grepl("[^ \t\r\n]", text, useBytes = TRUE)) {
    refuse("not_readable", 'the body is empty; send a JSON object with "data" or "parameters"')
  }
  document <- tryCatch(
    suppressWarnings(jsonlite::parse_json(text, bigint_as_char = FALSE)), # the warning is of a byte order mark
    error = function(e) refuse("not_readable", parse_fault(conditionMessage(e)))
  )
  if (may_hold_infinity(text) && holds_infinity(document)) {
    refuse("not_readable", "the body is not JSON: it holds a number that is larger than R's largest (1.8e308)")
  }
  document
}

# Whether a look at every number is worth its time.
may_hold_infinity <- function(text) grepl("[eE]\\+?[0-9]{3}|[0-9]{309}", text, perl = TRUE, useBytes = TRUE)

holds_infinity <- function(value) {
  if (is.list(value)) return(any(vapply(value, holds_infinity, NA)))
  is.double(value) && any(is.infinite(value))
}

text_of <- function(body) {
  if (any(body == as.raw(0L))) refuse("not_readable", "the body is not JSON: it holds a zero byte")
  text <- rawToChar(body)
  Encoding(text) <- "UTF-8"
  if (!validUTF8(text)) refuse("not_readable", "the body is not JSON: it is not UTF-8")
  text
}

# The parser's first words; the lines after them show the place.
parse_fault <- function(message) {
  if (grepl("stack|nested too deeply", message)) return("the body is nested too deeply")
  paste0("the body is not JSON: ", one_line(sub("\n.*", "", message)))
}

refuse <- function(class, message) {
  stop(structure(class = c(class, "error", "condition"), list(message = message, call = NULL)))
}
