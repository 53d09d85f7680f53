# Export the data sets that ship with R (packages `datasets` and `nlme`) to tidy CSV files.
#
#   Rscript datasets/export_from_r.R
#
# Writes <folder>/data.csv beside this script and prints versions and row counts.
# Values are written as R holds them: nothing is corrected, converted or left out. Only columns
# are renamed, rows put in numeric order of the task, and NA made an empty field.

suppressPackageStartupMessages(library(nlme))

# Folder -> package, data set, and its columns: new name = name in R. The first names the task.
exports <- list(
  theophylline = list("datasets", "Theoph", c(
    subject = "Subject", weight = "Wt", dose = "Dose", time = "Time", concentration = "conc")),
  indomethacin = list("datasets", "Indometh", c(
    subject = "Subject", time = "time", concentration = "conc")),
  phenobarbital = list("nlme", "Phenobarb", c(
    subject = "Subject", weight = "Wt", apgar = "Apgar", apgar_group = "ApgarInd",
    time = "time", dose = "dose", concentration = "conc")),
  quinidine = list("nlme", "Quinidine", c(
    subject = "Subject", age = "Age", height = "Height", weight = "Weight", race = "Race",
    smoking = "Smoke", ethanol = "Ethanol", heart_failure = "Heart",
    creatinine_clearance = "Creatinine", alpha_1_acid_glycoprotein = "glyco",
    time = "time", dose = "dose", dose_interval = "interval", concentration = "conc")),
  remifentanil = list("nlme", "Remifentanil", c(      # `ID` repeats `Subject`
    subject = "Subject", age = "Age", sex = "Sex", height = "Ht", weight = "Wt",
    body_surface_area = "BSA", lean_body_mass = "LBM",
    time = "Time", infusion_rate = "Rate", amount = "Amt", concentration = "conc")),
  alloy_fatigue = list("nlme", "Fatigue", c(
    specimen = "Path", cycles = "cycles", relative_length = "relLength"))
)

# A factor's codes follow its level order (here often by outcome), so go through the labels.
plain <- function(column) if (is.factor(column)) as.character(column) else column

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(normalizePath(gsub("~+~", " ", script, fixed = TRUE)))

cat(R.version.string, "\n")
for (package in c("datasets", "nlme")) {
  cat(package, packageDescription(package)$Version, "\n")
}

for (folder in names(exports)) {
  package <- exports[[folder]][[1]]
  name <- exports[[folder]][[2]]
  columns <- exports[[folder]][[3]]
  source <- as.data.frame(getExportedValue(package, name))
  table <- data.frame(lapply(columns, function(column) plain(source[[column]])))
  table[[1]] <- as.integer(table[[1]])
  table <- table[order(table[[1]]), ]                 # stable: keeps the source's order in a task
  stopifnot(!unlist(lapply(table, function(x) grepl("[\",\n]", x))))  # nothing needs quotes

  dir.create(file.path(here, folder), showWarnings = FALSE)
  connection <- file(file.path(here, folder, "data.csv"), "wb", encoding = "UTF-8")
  write.table(table, connection, sep = ",", eol = "\n", na = "", quote = FALSE, row.names = FALSE)
  close(connection)
  cat(sprintf("%-14s %s::%s: %d tasks, %d rows\n", folder, package, name,
              length(unique(table[[1]])), nrow(table)))
}
