-- There is no way back to nothing but to remove the file.
SELECT 1;
