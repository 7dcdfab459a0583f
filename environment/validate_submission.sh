#!/bin/bash
# Has the form of a submission checked: validate_submission.sh FILE. It tells no score.
file="$1"
if [ -z "$file" ]; then
  echo "Usage: $0 <submission_file>"
  exit 1
fi
if [ ! -f "$file" ]; then
  echo "File $file does not exist."
  exit 1
fi
curl -X POST -F "file=@$file" http://localhost:5000/validate
