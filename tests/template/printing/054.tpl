{{ sprig_date "2006-01-02" "x" }}
